/** What `kernels.ts` uses of the WebAssembly file's script. */
declare module 'webtern-bench' {
  export default function init(options: { readonly module_or_path: string }): Promise<unknown>
  export function benchKernels(runs: number): readonly import('./kernel-timing.js').KernelTiming[]
}
