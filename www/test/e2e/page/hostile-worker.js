// The library's own worker in a browser that does what its address says:
//
//   ?refuse=result   messages of this type cannot be sent; "all" are those after the first
//   ?clock=hours     each look at a clock is up to an hour before or behind the last
//   ?pages=200       shared memory has so many pages at most

const wish = new URL(import.meta.url).searchParams

const refused = wish.get('refuse')
if (refused) {
  const post = globalThis.postMessage.bind(globalThis)
  globalThis.postMessage = (message, ...rest) => {
    if (message.type === refused || (refused === 'all' && message.type !== 'ready'))
      throw new DOMException('Data cannot be cloned, out of memory.', 'DataCloneError')
    post(message, ...rest)
  }
}

if (wish.has('clock')) {
  let state = 1
  const jump = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state / 2 ** 32 - 0.5) * 7.2e6
  }
  const clocks = [
    [performance, performance.now.bind(performance)],
    [Date, Date.now.bind(Date)],
  ]
  for (const [clock, now] of clocks) clock.now = () => now() + jump()
}

const pages = Number(wish.get('pages'))
if (pages > 0) {
  globalThis.WebAssembly.Memory = class extends WebAssembly.Memory {
    constructor(limits) {
      super({ ...limits, maximum: Math.max(pages, limits.initial) })
    }
  }
}

await import('/dist/worker.js')
