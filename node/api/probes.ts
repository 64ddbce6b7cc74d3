/** Stage: HTTP API, and the listener for probes. What /livez, /readyz and /healthz ask for, and their answer. */
import type { HealthCheck } from './dependencies.ts'

/** Path → the checks that it looks at. */
export const PROBES = {
  '/livez': ['alive'],
  '/readyz': ['alive', 'ready'],
  '/healthz': ['alive', 'ready', 'never'],
} as const satisfies Readonly<Record<string, readonly HealthCheck['needed'][]>>

/** A path of `PROBES`. */
export type ProbePath = keyof typeof PROBES

/** The answer of `path`: 503 if a check fails that being alive, or serving, needs. */
export function probeAnswer(
  path: ProbePath,
  all: readonly HealthCheck[],
): { readonly status: 200 | 503; readonly body: object } {
  const wanted: readonly HealthCheck['needed'][] = PROBES[path]
  const checks = all.filter(({ needed }) => wanted.includes(needed))
  const isOk = checks.every(({ ok, needed }) => ok || needed === 'never')
  return {
    status: isOk ? 200 : 503,
    body: {
      status: isOk ? 'ok' : 'failing',
      checks: checks.map(({ name, ok, detail }) => ({ name, ok, detail })),
    },
  }
}
