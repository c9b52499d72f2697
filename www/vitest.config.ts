import { defineConfig } from 'vitest/config'

export default defineConfig({ test: { include: ['test/{unit,page}/**/*.test.ts'], environment: 'node' } })
