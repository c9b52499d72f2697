/** Kernels and what the processor could do, timed in a page. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { KernelTiming } from './page/kernel-timing.js'
import type { Site } from './site.js'
import { visit } from './visit.js'

const RUNS = 31

/** Times the kernels; `undefined` when their WebAssembly file has not been built. */
export async function kernelTimings(
  www: string,
  site: Site,
  timeoutMs: number,
): Promise<readonly KernelTiming[] | undefined> {
  if (!existsSync(join(www, 'wasm/bench/webtern_bg.wasm'))) return undefined
  return visit(site.pageOf('kernels'), 'timeKernels', timeoutMs, ({ step }) =>
    step('kernels', (page) => page.evaluate((runs) => timeKernels(runs), RUNS)),
  )
}
