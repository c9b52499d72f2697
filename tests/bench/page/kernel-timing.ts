/** What the page that times kernels offers. */

/** A kernel and how fast it multiplies, as `webtern bench` reports it too. */
export interface KernelTiming {
  /** Backend and operation. */
  readonly name: string
  /** Activation rows; 0 for the loop on registers. */
  readonly rows: number
  /** Multiply-accumulates per nanosecond. */
  readonly gmacs: number
}

declare global {
  /** Medians of so many runs. */
  var timeKernels: (runs: number) => readonly KernelTiming[]
}
