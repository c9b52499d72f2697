/** The demo page on the stand-in library. */

import { fileURLToPath } from 'node:url'
import { mergeConfig } from 'vite'
import demo from '../../demo/vite.config.ts'

export default mergeConfig(demo, {
  resolve: { alias: { webtern: fileURLToPath(new URL('fake-webtern.ts', import.meta.url)) } },
})
