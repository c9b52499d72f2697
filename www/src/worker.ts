/** Script of the worker that holds a model, or makes one. */

import { builds } from './builds.js'
import { serve } from './host.js'

serve(globalThis, builds)
