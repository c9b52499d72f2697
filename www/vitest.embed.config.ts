/** The package in the examples of `examples/embed`, with the newest bundlers. Installs them. */

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/embed/**/*.test.ts'],
    environment: 'node',
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
})
