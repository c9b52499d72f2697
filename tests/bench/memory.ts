/**
 * How much memory a page takes at its peak: what the process of its tab, with all its workers, grew by. It counts what the operating
 * system gave, so it is the same for all engines, and a peak that is over when it is asked for is not missed. (Chromium's
 * `measureUserAgentSpecificMemory` leaves out the unshared WebAssembly memory of a worker.) Blobs, in which wllama gets its file, are in another process.
 *
 * Linux only: elsewhere nothing is known.
 */

import { readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'

/** Resident bytes of each process that shows pages. */
export type Resident = ReadonlyMap<number, { readonly now: number; readonly peak: number }>

/** What the browser's pages occupy, by process; empty where the system does not tell. */
export async function resident(browser: Browser): Promise<Resident> {
  const session = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  await session.detach()
  return new Map(
    processInfo
      .filter(({ type }) => type === 'renderer')
      .flatMap(({ id }) => {
        const status = statusOf(id)
        const [now, peak] = [field(status, 'VmRSS'), field(status, 'VmHWM')]
        return now === undefined || peak === undefined ? [] : [[id, { now, peak }] as const]
      }),
  )
}

/** By how many bytes the process that grew most is above what it had `before`, at its peak; `null` where nothing is known. */
export function growth(before: Resident, after: Resident): number | null {
  const grown = [...after].flatMap(([id, { peak }]) => {
    const had = before.get(id)
    return had ? [peak - had.now] : []
  })
  return grown.length === 0 ? null : Math.max(...grown)
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return ''
  }
}

function field(status: string, name: string): number | undefined {
  const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
}
