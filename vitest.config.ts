import { defineConfig } from 'vitest/config'

/** Tests with real processes or real networks in them: agreement counts time, so they run one after the other and with nothing beside them. */
const ALONE = [
  'test/testnet/**/*.test.ts',
  'test/network/**/*.test.ts',
  'test/node/rtu/**/*.test.ts',
  'test/node/light/**/*.test.ts',
  'test/node/member.test.ts',
  'test/node/consensus/eras.test.ts',
  'test/node/snapshot/growth.test.ts',
  'test/cli/backup.test.ts',
]
const common = { testTimeout: 20_000, hookTimeout: 20_000, pool: 'forks' } as const

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: ALONE,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { test: { ...common, name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
})
