/** What is dropped on the page: GGUF files go one way, checkpoints the other. */

import { byId } from './dom'
import type { Checkpoint } from './checkpoint'
import { checkpointOfEntries, checkpointOfFiles, isModel } from './checkpoint'

/** Who takes what is dropped. */
export interface DropTargets {
  readonly models: (files: readonly File[]) => void
  readonly checkpoint: (checkpoint: Promise<Checkpoint>) => void
}

/** Takes drops anywhere on the page, under a curtain that says so. */
export function acceptDrops(targets: DropTargets): void {
  const curtain = byId('curtain', HTMLElement)
  // `dragenter` and `dragleave` also fire for every element inside the page, hence the count.
  let depth = 0
  const isFile = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
  const show = (shown: boolean) => {
    if (!shown) depth = 0
    curtain.hidden = !shown
  }
  window.addEventListener('dragenter', (event) => {
    if (!isFile(event)) return
    depth += 1
    show(true)
  })
  window.addEventListener('dragleave', () => {
    depth -= 1
    if (depth <= 0) show(false)
  })
  window.addEventListener('dragover', (event) => {
    if (isFile(event)) event.preventDefault()
  })
  window.addEventListener('drop', (event) => {
    if (!isFile(event) || !event.dataTransfer) return
    event.preventDefault()
    show(false)
    give(event.dataTransfer, targets)
  })
}

function give({ items, files }: DataTransfer, { models, checkpoint }: DropTargets): void {
  // Entries are there during the event only.
  const folders = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry?.isDirectory ?? false)
  const dropped = [...files]
  if (folders.length > 0) checkpoint(checkpointOfEntries(folders))
  else if (isModel(dropped)) models(dropped)
  else checkpoint(Promise.resolve(checkpointOfFiles(dropped)))
}
