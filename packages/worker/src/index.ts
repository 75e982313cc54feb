export { type RunMemberOptions, runMember } from "./run-member.ts";
export { loadTensorflow, type Tensorflow } from "./tensorflow.ts";
