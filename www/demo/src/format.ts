/** Numbers as people read them. */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Bytes in decimal units, as download sizes are given: `1.19 MB`. */
export function bytes(count: number): string {
  let value = count
  let unit = 0
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 ? value.toFixed(0) : significant(value)} ${UNITS[unit] ?? ''}`
}

/** Three significant digits, without an exponent. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** A large count: `135 M`. */
export function count(value: number): string {
  if (value >= 1e9) return `${significant(value / 1e9)} B`
  if (value >= 1e6) return `${significant(value / 1e6)} M`
  return value >= 1e4 ? `${significant(value / 1e3)} K` : String(value)
}

/** A span of time: `340 ms`, `12.4 s`, `3 min 20 s`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${ms.toFixed(0)} ms`
  if (ms < 99_500) return `${significant(ms / 1000)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60).toFixed(0)} min ${(seconds % 60).toFixed(0)} s`
}

export function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(fraction > 0.995 && fraction < 1 ? 1 : 0)}\u00a0%`
}
