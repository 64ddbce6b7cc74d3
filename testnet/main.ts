/** Stage: the operator. `npm start`: `althing testnet --members 4 --rtus 3`, and whatever is added after `--`. */
import { runProcess } from '../cli/main.ts'

process.argv.splice(2, 0, 'testnet', '--members', '4', '--rtus', '3')
await runProcess()
