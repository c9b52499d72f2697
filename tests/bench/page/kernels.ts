/** The page that times kernels: the WebAssembly file of `npm run build -- --bench`, which is not part of the package. */

import init, { benchKernels } from 'webtern-bench'
import type { KernelTiming } from './kernel-timing.js'

await init({ module_or_path: '/bench-wasm/webtern_bg.wasm' })
const parse: (text: string) => readonly KernelTiming[] = JSON.parse
globalThis.timeKernels = (runs) => parse(benchKernels(runs))
