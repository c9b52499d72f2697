import { defineConfig } from 'vitest/config'

export default defineConfig({ test: { include: ['test/{unit,page,scripts}/**/*.test.ts'], environment: 'node' } })
