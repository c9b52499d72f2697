/** webtern: ternary and quantised language models inside a web page. Importing this does nothing, anywhere. */

import { loadModelWith } from './engine.js'
import { spawnWorker } from './spawn.js'
import type { LoadModel } from './types.js'

export { WebternError } from './errors.js'
export type * from './types.js'

/** Loads a model into a worker of its own. Rejects with a {@link WebternError}. */
export const loadModel: LoadModel = /* @__PURE__ */ loadModelWith(spawnWorker)
