/** Writes a run down as it goes and draws it, a frame at a time. */

import { FrameLoop } from './dom'
import type { Recording } from './recording'
import type { Run } from 'webtern'

/** Ends when the run does, with everything drawn. */
export async function follow(run: Run, recording: Recording, draw: () => void): Promise<void> {
  const frames = new FrameLoop(draw)
  frames.request()
  for await (const event of run) {
    recording.add(event, performance.now())
    if (event.type !== 'done') frames.request()
  }
  frames.flush()
}
