/** The worker's script: the engine, or one of its helpers. */

import { artefacts } from './artefacts.js'
import { serve } from './host.js'
import { spawnUrl } from './spawn-url.js'

serve(globalThis, artefacts, () => spawnUrl(new URL(import.meta.url)))
