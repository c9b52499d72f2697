// The library's own worker on an engine that does what its address says: `?trap-at=step` makes that call end in a trap,
// as a bug in the engine would.

const trapAt = new URL(import.meta.url).searchParams.get('trap-at')
// (module (func (export "trap") i32.const 0 i32.const 0 i32.div_s drop))
const TRAP = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 8, 1, 4, 116, 114, 97, 112, 0, 0, 10, 10, 1, 8, 0, 65,
  0, 65, 0, 109, 26, 11,
])
const { trap } = new WebAssembly.Instance(new WebAssembly.Module(TRAP)).exports
const instantiate = WebAssembly.instantiate
WebAssembly.instantiate = async (module, imports) => {
  const instance = await instantiate(module, imports)
  const exports = { ...instance.exports, [trapAt]: trap }
  return Object.create(WebAssembly.Instance.prototype, { exports: { value: exports } })
}
await import('/dist/worker.js')
