export { readSetupConfig } from "./config.mjs";
export { provideLibtensorflow, quietAddonPath } from "./libtensorflow.mjs";
export { checkRequirements, formatMissing } from "./requirements.mjs";
export { SetupError } from "./setup-error.mjs";
