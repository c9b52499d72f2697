/**
 * webtern: ternary and quantized language models inside a web page, and conversion of checkpoints
 * to them. Importing this has no side effects, in browsers and on servers.
 */

import { convertCheckpointWith, inspectCheckpointWith, inspectModelWith, verifyModelWith } from './checkpoint.js'
import type { ConvertCheckpoint, InspectCheckpoint, InspectModel, VerifyModel } from './checkpoint-types.js'
import { loadModelWith } from './engine.js'
import { spawn } from './spawn.js'
import type { LoadModel } from './types.js'

export { WebternError } from './errors.js'
export type * from './checkpoint-types.js'
export type * from './openai-types.js'
export type * from './types.js'

/** Loads a model into a worker of its own. Rejects with a {@link WebternError}. */
export const loadModel: LoadModel = /* @__PURE__ */ loadModelWith(spawn)

/**
 * Describes a GGUF model, whether it runs, and its problems. Rejects with a {@link WebternError}.
 */
export const inspectModel: InspectModel = /* @__PURE__ */ inspectModelWith(spawn)

/**
 * Describes a checkpoint and the model it converts to, or why not. Rejects with a {@link
 * WebternError}.
 */
export const inspectCheckpoint: InspectCheckpoint = /* @__PURE__ */ inspectCheckpointWith(spawn)

/** Converts a checkpoint to GGUF. Rejects with a {@link WebternError}. */
export const convertCheckpoint: ConvertCheckpoint = /* @__PURE__ */ convertCheckpointWith(spawn)

/** Compares a GGUF model with its checkpoint. Rejects with a {@link WebternError}. */
export const verifyModel: VerifyModel = /* @__PURE__ */ verifyModelWith(spawn)
