/** Stage: the operator. `althing status`: how the node is, asked of its API; when the chain stands still, why, and what to do. Reads only. */
import type { Command } from 'commander'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { EXIT } from './failure.ts'
import { cell, printable, show, table } from './output.ts'

/** `althing status`. */
export function registerStatus(program: Command, context: CommandContext): void {
  clientCommand(program, 'status')
    .description('show how the node is, who is missing, and why the chain stands still if it does')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      const status = await client.json({ segments: ['status'] })
      if (fields(status)['removed'] != null) context.exitCode = EXIT.no
      show(context.output, status, statusText)
    })
}

type Fields = { readonly [name: string]: unknown }
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {})
const list = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.map(fields) : [])
const ms = (value: unknown): string => (typeof value === 'number' ? `${value} ms` : '-')

/** A span of time as people say it; `-` where there is none. */
function span(value: unknown): string {
  if (typeof value !== 'number') return '-'
  const seconds = Math.max(0, Math.round(value / 1000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}

/** The answer of GET /v1/status for people. What an older or newer node leaves out is shown as `-`. */
export function statusText(answer: unknown): string {
  const status = fields(answer)
  const { ledger, quorum, leader, assurance, standstill, delays, pool, transactions, latency, devices } =
    Object.fromEntries(Object.entries(status).map(([name, value]) => [name, fields(value)])) as Record<string, Fields>
  const lines: [string, string][] = [
    [
      'node',
      `${cell(fields(status['member'])['name'])} of ${cell(status['network'])}, althing ${cell(status['version'])}`,
    ],
    ['chain', cell(status['chainId'])],
    ['height', `${cell(status['height'])}, last block ${span(status['headAgeMs'])} ago`],
    ['ledger', ledgerText(ledger)],
    [
      'consensus',
      `era ${cell(status['era'])}, view ${cell(status['view'])}, led by ${cell(leader?.['name'])}; ${cell(status['phase'])}`,
    ],
    [
      'quorum',
      `${cell(quorum?.['needed'])} of ${cell(quorum?.['members'])} decide, ${cell(quorum?.['tolerated'])} may lie`,
    ],
    ['assurance', status['assurance'] == null ? '-' : cell(assurance?.['sentence'])],
    [
      'delays',
      `slowest ${ms(delays?.['slowestMs'])} of Δ = ${ms(delays?.['deltaMs'])}${delays?.['violated'] === true ? ', VIOLATED' : ''}`,
    ],
    ['pool', `${cell(pool?.['count'])} transactions, ${cell(pool?.['bytes'])} bytes`],
    [
      'rate',
      `${cell(transactions?.['perSecond'])} transactions per second; ` +
        `committed after ${ms(latency?.['p50Ms'])} (p50), ${ms(latency?.['p99Ms'])} (p99)`,
    ],
    ['devices', `${cell(devices?.['connected'])} connected`],
    [
      'evidence',
      `${cell(status['evidence'])} found here, ${cell(fields(status['offences'])['recorded'])} on the chain`,
    ],
  ]
  const width = Math.max(...lines.map(([name]) => name.length))
  const parts = [lines.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join('\n'), membersText(status)]
  if (status['standstill'] != null)
    parts.push(`STANDS STILL: ${cell(standstill?.['sentence'])}\n  what to do: ${cell(standstill?.['advice'])}`)
  const warnings = Array.isArray(status['warnings']) ? status['warnings'] : []
  if (warnings.length > 0) parts.push(warnings.map((warning) => `warning: ${printable(String(warning))}`).join('\n'))
  return parts.join('\n\n')
}

/** What is held of the past; how far joining is, while it goes on. */
function ledgerText(ledger: Fields | undefined): string {
  const joining = fields(ledger?.['joining'])
  if (ledger?.['joining'] != null)
    return (
      `joining by the snapshot of height ${cell(joining['height'])}: ${cell(joining['chunksMissing'])} of ${cell(joining['chunks'])} chunks ` +
      `and ${cell(joining['blocksMissing'])} of ${cell(joining['blocks'])} blocks are missing`
    )
  const snapshots = Array.isArray(ledger?.['snapshots']) ? ledger['snapshots'] : []
  const made =
    snapshots.length === 0 ? 'no snapshot' : `snapshots at ${snapshots.map((height) => cell(height)).join(', ')}`
  return `blocks from ${cell(ledger?.['firstHeight'])}, their transactions from ${cell(ledger?.['firstBody'])} on; ${made}`
}

function membersText(status: Fields): string {
  const rows = list(status['members']).map((member) => {
    const where = member['isThisMember'] === true ? 'this node' : member['linked'] === true ? 'linked' : 'NO LINK'
    return [member['name'], where, member['height'], member['lastSignedHeight'], ms(member['roundTripMs'])]
  })
  return table(['member', 'link', 'height', 'last signed', 'round trip'], rows)
}
