export {
  type AccessOptions,
  type Refusal,
  type RefusalCounts,
  type RefusalReason,
  refusalReasons,
} from "./access.ts";
export { type Answer, type AnsweringOptions, answering, type Misbehaviour } from "./answering.ts";
export {
  certificateFiles,
  type IssuedCertificate,
  type IssueOptions,
  initCertificates,
  issueCertificate,
} from "./certificate-folder.ts";
export { type CertificateSet, makeCertificates } from "./certificates.ts";
export { copyBytes } from "./copy-bytes.ts";
export { services } from "./definition.ts";
export type {
  AcquireLeaseRequest,
  AcquireLeaseRequestInput,
} from "./generated/downpour/v1/AcquireLeaseRequest.ts";
export type {
  AcquireLeaseResponse,
  AcquireLeaseResponseInput,
} from "./generated/downpour/v1/AcquireLeaseResponse.ts";
export type { AssignedSlice, AssignedSliceInput } from "./generated/downpour/v1/AssignedSlice.ts";
export type { AssignRequest, AssignRequestInput } from "./generated/downpour/v1/AssignRequest.ts";
export type { AssignResponse, AssignResponseInput } from "./generated/downpour/v1/AssignResponse.ts";
export { BatchOutcome } from "./generated/downpour/v1/BatchOutcome.ts";
export type { BatchReport, BatchReportInput } from "./generated/downpour/v1/BatchReport.ts";
export type { CheckpointPart, CheckpointPartInput } from "./generated/downpour/v1/CheckpointPart.ts";
export type { CheckpointRequest, CheckpointRequestInput } from "./generated/downpour/v1/CheckpointRequest.ts";
export type {
  CheckpointResponse,
  CheckpointResponseInput,
} from "./generated/downpour/v1/CheckpointResponse.ts";
export { Codec } from "./generated/downpour/v1/Codec.ts";
export { Command } from "./generated/downpour/v1/Command.ts";
export type { CoordinatorHandlers } from "./generated/downpour/v1/Coordinator.ts";
export type { DataFingerprint, DataFingerprintInput } from "./generated/downpour/v1/DataFingerprint.ts";
export type { Evaluation, EvaluationInput } from "./generated/downpour/v1/Evaluation.ts";
export { EvaluationKind } from "./generated/downpour/v1/EvaluationKind.ts";
export type { Event, EventInput } from "./generated/downpour/v1/Event.ts";
export type { GetJobRequest, GetJobRequestInput } from "./generated/downpour/v1/GetJobRequest.ts";
export type { GetJobResponse, GetJobResponseInput } from "./generated/downpour/v1/GetJobResponse.ts";
export type { GetLayoutRequest, GetLayoutRequestInput } from "./generated/downpour/v1/GetLayoutRequest.ts";
export type { GetLayoutResponse, GetLayoutResponseInput } from "./generated/downpour/v1/GetLayoutResponse.ts";
export type {
  GetServerStatusRequest,
  GetServerStatusRequestInput,
} from "./generated/downpour/v1/GetServerStatusRequest.ts";
export type {
  GetServerStatusResponse,
  GetServerStatusResponseInput,
} from "./generated/downpour/v1/GetServerStatusResponse.ts";
export type { HeartbeatRequest, HeartbeatRequestInput } from "./generated/downpour/v1/HeartbeatRequest.ts";
export type { HeartbeatResponse, HeartbeatResponseInput } from "./generated/downpour/v1/HeartbeatResponse.ts";
export type { InitializeRequest, InitializeRequestInput } from "./generated/downpour/v1/InitializeRequest.ts";
export type {
  InitializeResponse,
  InitializeResponseInput,
} from "./generated/downpour/v1/InitializeResponse.ts";
export type { JoinRequest, JoinRequestInput } from "./generated/downpour/v1/JoinRequest.ts";
export type { JoinResponse, JoinResponseInput } from "./generated/downpour/v1/JoinResponse.ts";
export type { Lease, LeaseInput } from "./generated/downpour/v1/Lease.ts";
export type { LeaveRequest, LeaveRequestInput } from "./generated/downpour/v1/LeaveRequest.ts";
export type { LeaveResponse, LeaveResponseInput } from "./generated/downpour/v1/LeaveResponse.ts";
export type { LogEntry, LogEntryInput } from "./generated/downpour/v1/LogEntry.ts";
export type { Manifest, ManifestInput } from "./generated/downpour/v1/Manifest.ts";
export type { ManifestTensor, ManifestTensorInput } from "./generated/downpour/v1/ManifestTensor.ts";
export type { Measurement, MeasurementInput } from "./generated/downpour/v1/Measurement.ts";
export { MemberRole } from "./generated/downpour/v1/MemberRole.ts";
export type {
  NextEvaluationRequest,
  NextEvaluationRequestInput,
} from "./generated/downpour/v1/NextEvaluationRequest.ts";
export type {
  NextEvaluationResponse,
  NextEvaluationResponseInput,
} from "./generated/downpour/v1/NextEvaluationResponse.ts";
export type { ParameterServerHandlers } from "./generated/downpour/v1/ParameterServer.ts";
export type { PlacedSlice, PlacedSliceInput } from "./generated/downpour/v1/PlacedSlice.ts";
export type { PullRequest, PullRequestInput } from "./generated/downpour/v1/PullRequest.ts";
export type { PullResponse, PullResponseInput } from "./generated/downpour/v1/PullResponse.ts";
export type { PushId, PushIdInput } from "./generated/downpour/v1/PushId.ts";
export type { PushRequest, PushRequestInput } from "./generated/downpour/v1/PushRequest.ts";
export type { PushResponse, PushResponseInput } from "./generated/downpour/v1/PushResponse.ts";
export type {
  RegisterServerRequest,
  RegisterServerRequestInput,
} from "./generated/downpour/v1/RegisterServerRequest.ts";
export type {
  RegisterServerResponse,
  RegisterServerResponseInput,
} from "./generated/downpour/v1/RegisterServerResponse.ts";
export type { ReplicaRefusal, ReplicaRefusalInput } from "./generated/downpour/v1/ReplicaRefusal.ts";
export type { ReplicaReport, ReplicaReportInput } from "./generated/downpour/v1/ReplicaReport.ts";
export type { ReplicateRequest, ReplicateRequestInput } from "./generated/downpour/v1/ReplicateRequest.ts";
export type { ReplicateResponse, ReplicateResponseInput } from "./generated/downpour/v1/ReplicateResponse.ts";
export type {
  ReportBatchesRequest,
  ReportBatchesRequestInput,
} from "./generated/downpour/v1/ReportBatchesRequest.ts";
export type {
  ReportBatchesResponse,
  ReportBatchesResponseInput,
} from "./generated/downpour/v1/ReportBatchesResponse.ts";
export type {
  ReportEvaluationRequest,
  ReportEvaluationRequestInput,
} from "./generated/downpour/v1/ReportEvaluationRequest.ts";
export type {
  ReportEvaluationResponse,
  ReportEvaluationResponseInput,
} from "./generated/downpour/v1/ReportEvaluationResponse.ts";
export type {
  ReportInitializedRequest,
  ReportInitializedRequestInput,
} from "./generated/downpour/v1/ReportInitializedRequest.ts";
export type {
  ReportInitializedResponse,
  ReportInitializedResponseInput,
} from "./generated/downpour/v1/ReportInitializedResponse.ts";
export type {
  ReturnLeaseRequest,
  ReturnLeaseRequestInput,
} from "./generated/downpour/v1/ReturnLeaseRequest.ts";
export type {
  ReturnLeaseResponse,
  ReturnLeaseResponseInput,
} from "./generated/downpour/v1/ReturnLeaseResponse.ts";
export type { ScheduleRevision, ScheduleRevisionInput } from "./generated/downpour/v1/ScheduleRevision.ts";
export type { SetMembersRequest, SetMembersRequestInput } from "./generated/downpour/v1/SetMembersRequest.ts";
export type {
  SetMembersResponse,
  SetMembersResponseInput,
} from "./generated/downpour/v1/SetMembersResponse.ts";
export type {
  SliceAcknowledgement,
  SliceAcknowledgementInput,
} from "./generated/downpour/v1/SliceAcknowledgement.ts";
export { SliceDuty } from "./generated/downpour/v1/SliceDuty.ts";
export type { SliceFill, SliceFillInput } from "./generated/downpour/v1/SliceFill.ts";
export type { SliceGradient, SliceGradientInput } from "./generated/downpour/v1/SliceGradient.ts";
export type { SliceRange, SliceRangeInput } from "./generated/downpour/v1/SliceRange.ts";
export type { SliceStatus, SliceStatusInput } from "./generated/downpour/v1/SliceStatus.ts";
export type { SliceVersion, SliceVersionInput } from "./generated/downpour/v1/SliceVersion.ts";
export type { SliceWeights, SliceWeightsInput } from "./generated/downpour/v1/SliceWeights.ts";
export type { Status, StatusInput } from "./generated/downpour/v1/Status.ts";
export type { StopJobRequest, StopJobRequestInput } from "./generated/downpour/v1/StopJobRequest.ts";
export type { StopJobResponse, StopJobResponseInput } from "./generated/downpour/v1/StopJobResponse.ts";
export { TensorRole } from "./generated/downpour/v1/TensorRole.ts";
export type { Version, VersionInput } from "./generated/downpour/v1/Version.ts";
export type { WatchRequest, WatchRequestInput } from "./generated/downpour/v1/WatchRequest.ts";
export type { WeightsWanted, WeightsWantedInput } from "./generated/downpour/v1/WeightsWanted.ts";
export type {
  WriteCheckpointRequest,
  WriteCheckpointRequestInput,
} from "./generated/downpour/v1/WriteCheckpointRequest.ts";
export type {
  WriteCheckpointResponse,
  WriteCheckpointResponseInput,
} from "./generated/downpour/v1/WriteCheckpointResponse.ts";
export { type HeartbeatOptions, sendHeartbeats } from "./heartbeats.ts";
export type {
  AsynchronyChoice,
  CheckpointReason,
  DivergenceFigures,
  DropReason,
  FinishReason,
  JobEvent,
  JobSummary,
  Progress,
  ServerFigures,
  SliceFigures,
  TimedJobEvent,
} from "./job-event.ts";
export { JoinToken, makeJoinToken, readJoinToken, writeJoinToken } from "./join-token.ts";
export { limits } from "./limits.ts";
export { type Identity, type IdentityFiles, loadIdentity } from "./load-identity.ts";
export { loadTls } from "./load-tls.ts";
export { permissions } from "./permissions.ts";
export { isTransient, type RetryOptions, retry } from "./retry.ts";
export { type Role, roles } from "./roles.ts";
export { SequencedStream } from "./sequenced-stream.ts";
export { type ServeOptions, type Serving, serve, unary } from "./serve.ts";
export { okStatus, throwUnlessOk, toMessageStatus, wasAnswered } from "./status.ts";
export type { TlsMaterial } from "./tls.ts";
export { ToldRefusals } from "./told-refusals.ts";
export {
  type Caller,
  type ConnectOptions,
  type CoordinatorCaller,
  connectCoordinator,
  connectParameterServer,
  type ParameterServerCaller,
} from "./unary-client.ts";
export { watchEvents } from "./watch-events.ts";
