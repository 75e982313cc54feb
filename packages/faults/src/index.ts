export { ClusterView, type Violation } from "./cluster-view.ts";
export { type Fault, type FaultTargets, faultText, nextFault } from "./fault.ts";
export { FaultCluster, type FaultClusterOptions } from "./fault-cluster.ts";
export { follow } from "./follow.ts";
export { hasNatsServer, NatsNode } from "./nats-node.ts";
export { freePorts } from "./ports.ts";
export { pick, seededRandom } from "./random.ts";
export { Role, type RoleEnd } from "./role.ts";
export { TcpProxy } from "./tcp-proxy.ts";
