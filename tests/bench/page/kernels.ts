/** The page that times kernels: the WebAssembly file of `npm run build -- --bench`, which is not part of the package. */

import init, { benchKernels } from 'webtern-bench'

await init({ module_or_path: '/bench-wasm/webtern_bg.wasm' })
globalThis.timeKernels = benchKernels
