/**
 * Stage: the operator. What every command may ask for: its output, the home, the configuration, the genesis, standard input.
 * Invariant: commands touch process globals through this only, so that tests can run them in-process.
 */

import type { Readable } from 'node:stream'
import { GENESIS_CHARACTERS_MAX, parseGenesis } from '../config/genesisFile.ts'
import { type Home, homeOf } from '../config/home.ts'
import { CONFIG_CHARACTERS_MAX, type LoadedConfig, parseNodeConfig } from '../config/nodeConfig.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import { CommandError, EXIT } from './failure.ts'
import { readText, readTextIfThere } from './files.ts'
import { type Output, printable } from './output.ts'

/** What the process gives to the command line. */
export type Surroundings = {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
}

/** Options that every command takes. */
export type GlobalOptions = {
  readonly home?: string
  readonly json?: boolean
  readonly set?: Readonly<Record<string, string>>
}

/** One run of one command. */
export class CommandContext {
  readonly surroundings: Surroundings
  readonly #options: () => GlobalOptions
  /** Exit code of a command that ends without an error: `EXIT.no` where a check said no. */
  exitCode: number = EXIT.ok

  constructor(surroundings: Surroundings, options: () => GlobalOptions) {
    this.surroundings = surroundings
    this.#options = options
  }

  get environment(): Surroundings['environment'] {
    return this.surroundings.environment
  }

  get output(): Output {
    const { stdout, stderr } = this.surroundings
    return {
      json: this.#options().json === true,
      data: (text) => stdout(`${text}\n`),
      remark: (text) => stderr(`${text}\n`),
    }
  }

  get home(): Home {
    return homeOf(this.#options().home, this.environment)
  }

  /** Settings given with `--set`. */
  get flags(): Readonly<Record<string, string>> {
    return this.#options().set ?? {}
  }

  /**
   * The configuration of the home; warnings go to standard error.
   * CommandError: NOT_INITIALISED, CONFIG_INVALID (both exit 78).
   */
  async config(): Promise<LoadedConfig> {
    const { configFile, folder } = this.home
    const text = await readTextIfThere(configFile, CONFIG_CHARACTERS_MAX)
    if (text === undefined)
      throw new CommandError('NOT_INITIALISED', EXIT.configuration, `there is no althing home at ${folder}`)
    const parsed = parseNodeConfig({
      file: { name: 'config.toml', text },
      environment: this.environment,
      flags: this.flags,
    })
    if (!parsed.ok)
      throw new CommandError('CONFIG_INVALID', EXIT.configuration, `the configuration of ${folder} is not valid`, {
        problems: parsed.problems,
      })
    for (const warning of parsed.value.warnings)
      this.output.remark(
        `althing: warning: ${printable(warning.where)} ${warning.what}${warning.hint ? `. ${warning.hint}` : ''}`,
      )
    return parsed.value
  }

  /** The genesis in `file`, by default that of the home. CommandError: FILE_MISSING, GENESIS_INVALID with `exitCode`. */
  async genesis(file: string = this.home.genesisFile, exitCode: 65 | 78 = EXIT.configuration): Promise<Genesis> {
    const parsed = parseGenesis(await readText(file, GENESIS_CHARACTERS_MAX))
    if (!parsed.ok)
      throw new CommandError('GENESIS_INVALID', exitCode, `${file} is not a valid genesis`, {
        problems: parsed.problems,
      })
    return parsed.value
  }

  /** Standard input as text. CommandError INPUT_TOO_LARGE beyond `bytesMax`. */
  async readStdin(bytesMax: number): Promise<string> {
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of this.surroundings.stdin) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Uint8Array)
      length += bytes.length
      if (length > bytesMax)
        throw new CommandError('INPUT_TOO_LARGE', EXIT.badData, `standard input has more than ${bytesMax} bytes`)
      chunks.push(bytes)
    }
    return Buffer.concat(chunks).toString('utf8')
  }
}

/** Chain id of a genesis in hexadecimal, as people compare it. */
export const chainIdText = (genesis: Genesis): string => Buffer.from(chainIdOf(genesis)).toString('hex')
