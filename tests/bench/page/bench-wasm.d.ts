/** What `kernels.ts` uses of the WebAssembly file's script. */
declare module 'webtern-bench' {
  import type { KernelTiming } from './kernel-timing.js'

  export default function init(options: { readonly module_or_path: string }): Promise<unknown>
  export function benchKernels(runs: number): readonly KernelTiming[]
}
