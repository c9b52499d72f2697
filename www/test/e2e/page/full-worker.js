// The library's own worker in a browser whose room for blobs is soon used up: what is added then cannot be read.

const ROOM = 500_000
const { Blob, FileReaderSync } = globalThis
let used = 0
const lost = new WeakSet()
globalThis.Blob = class extends Blob {
  constructor(parts, options) {
    super(parts, options)
    used += this.size
    if (used > ROOM) lost.add(this)
  }

  slice(...range) {
    const part = super.slice(...range)
    if (lost.has(this)) lost.add(part)
    return part
  }
}
globalThis.FileReaderSync = class extends FileReaderSync {
  readAsArrayBuffer(blob) {
    if (lost.has(blob)) throw new DOMException('The requested file could not be read.', 'NotReadableError')
    return super.readAsArrayBuffer(blob)
  }
}
await import('/dist/worker.js')
