/** Script of a thread pool's workers. */

import { builds } from './builds.js'
import { joinPool } from './pool-thread.js'

joinPool(globalThis, builds.engine)
