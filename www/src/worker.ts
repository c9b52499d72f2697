/** The engine worker's script. */

import { artefacts } from './artefacts.js'
import { serve } from './host.js'

serve(globalThis, artefacts)
