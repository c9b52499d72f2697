/**
 * webtern: ternary and quantised language models inside a web page, and checkpoints to make them from. Importing this
 * does nothing, anywhere.
 */

import { convertCheckpointWith, inspectCheckpointWith, inspectModelWith, verifyModelWith } from './checkpoint.js'
import type { ConvertCheckpoint, InspectCheckpoint, InspectModel, VerifyModel } from './checkpoint-types.js'
import { loadModelWith } from './engine.js'
import { spawnWorker } from './spawn.js'
import type { LoadModel } from './types.js'

export { WebternError } from './errors.js'
export type * from './checkpoint-types.js'
export type * from './types.js'

/** Loads a model into a worker of its own. Rejects with a {@link WebternError}. */
export const loadModel: LoadModel = /* @__PURE__ */ loadModelWith(spawnWorker)

/** Says what a GGUF model is, whether it runs, and what is wrong with it. Rejects with a {@link WebternError}. */
export const inspectModel: InspectModel = /* @__PURE__ */ inspectModelWith(spawnWorker)

/** Says what a checkpoint is and what it would become, or why not. Rejects with a {@link WebternError}. */
export const inspectCheckpoint: InspectCheckpoint = /* @__PURE__ */ inspectCheckpointWith(spawnWorker)

/** Converts a checkpoint to GGUF. Rejects with a {@link WebternError}. */
export const convertCheckpoint: ConvertCheckpoint = /* @__PURE__ */ convertCheckpointWith(spawnWorker)

/** Compares a GGUF model with its checkpoint. Rejects with a {@link WebternError}. */
export const verifyModel: VerifyModel = /* @__PURE__ */ verifyModelWith(spawnWorker)
