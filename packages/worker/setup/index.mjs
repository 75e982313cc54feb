export { readSetupConfig } from "./config.mjs";
export { provideLibtensorflow } from "./libtensorflow.mjs";
export { hasNativeTensorflow, linkedTensorflowVersion, quietAddonPath } from "./link.mjs";
export { checkRequirements, formatMissing } from "./requirements.mjs";
export { SetupError } from "./setup-error.mjs";
