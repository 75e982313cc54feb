export { measureSteps, type StepMeasurement, type StepProgram, type StepTimes } from "./bench-compute.ts";
export { type ExchangeMeasurement, type ExchangeTimes, measureExchange } from "./bench-exchange.ts";
export { chosenDevice, type DeviceReport, findDevices } from "./devices.ts";
export { type Batch, Network, type NetworkOptions, type StepSeed } from "./network.ts";
export { hasBfloat16 } from "./processor.ts";
export { type RunMemberOptions, runMember } from "./run-member.ts";
export { alignedFloats } from "./shared-memory.ts";
export { loadTensorflow, type Tensorflow } from "./tensorflow.ts";
