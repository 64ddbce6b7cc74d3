/**
 * Stage: before everything. Where things lie: the home folder of one node and the paths in it.
 * Invariants: nothing here reads or writes; a name that comes from outside never becomes a path without matching a pattern.
 *
 *     $ALTHING_HOME (default ~/.althing)     0700
 *     ├── config.toml      settings, no secrets
 *     ├── genesis.json     what the members agreed on
 *     ├── keys/            0700
 *     │   ├── node.key     0600  key of the member or device; also its libp2p identity
 *     │   ├── token.secret 0600  signs API tokens
 *     │   └── api/         0700  <name>.key, 0600: API keys, which own namespaces
 *     ├── run.json         0600  what runs and where it answers, while a node serves
 *     └── data/            database and signing record
 */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** Absolute paths of one home. Where the database and the token secret lie is a matter of config.toml. */
export type Home = {
  readonly folder: string
  readonly configFile: string
  readonly genesisFile: string
  readonly keysFolder: string
  readonly nodeKeyFile: string
  readonly apiKeysFolder: string
}

/** The home given by `--home`, else `ALTHING_HOME`, else `~/.althing`. An empty text counts as not given. */
export function homeOf(flag: string | undefined, environment: Readonly<Record<string, string | undefined>>): Home {
  const folder = resolve(flag || environment['ALTHING_HOME'] || join(homedir(), '.althing'))
  return Object.freeze({
    folder,
    configFile: join(folder, 'config.toml'),
    genesisFile: join(folder, 'genesis.json'),
    keysFolder: join(folder, 'keys'),
    nodeKeyFile: join(folder, 'keys', 'node.key'),
    apiKeysFolder: join(folder, 'keys', 'api'),
  })
}

/** A path from config.toml: relative ones count from the home. */
export const inHome = (home: Home, path: string): string => resolve(home.folder, path)

/** File in which a running node says where it answers: `{"pid", "startedAt", "api", "metrics", "p2p"}`. */
export const runFileIn = (folder: string): string => join(folder, 'run.json')

/** Names that an API key may have: they become file names. */
export const API_KEY_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/

/** File of the API key `name`, or undefined if it is no name of a key. */
export const apiKeyFile = (home: Home, name: string): string | undefined =>
  API_KEY_NAME.test(name) ? join(home.apiKeysFolder, `${name}.key`) : undefined
