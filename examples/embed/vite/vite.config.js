import { defineConfig } from 'vite'

// Threads need a cross-origin isolated page. Send these headers in production too.
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

export default defineConfig({ server: { headers }, preview: { headers } })
