/** Writes a run down as it goes and draws it, a frame at a time. */

import { FrameLoop } from './dom'
import type { Recording } from './recording'
import { LIVE, type Clock } from './replay'
import type { GenerateEvent } from 'webtern'

/** Ends when the events do, with everything drawn. */
export async function follow(
  events: AsyncIterable<GenerateEvent>,
  recording: Recording,
  draw: () => void,
  clock: Clock = LIVE,
): Promise<void> {
  const frames = new FrameLoop(draw)
  frames.request()
  for await (const event of events) {
    recording.add(event, clock.arrival())
    if (event.type !== 'done') frames.request()
  }
  frames.flush()
}
