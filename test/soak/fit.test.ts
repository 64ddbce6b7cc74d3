import { expect, it } from 'vitest'
import { growthOf } from './fit.ts'
import { svgOf } from './plot.ts'

it('fit: a straight line has its slope per hour and explains everything; noise around a level explains nothing', () => {
  const line = growthOf(Array.from({ length: 10 }, (_, i) => [i * 10, 5 + i]))
  expect(line.perHour).toBeCloseTo(360)
  expect(line.fit).toBeCloseTo(1)
  const noise = growthOf(Array.from({ length: 100 }, (_, i) => [i, i % 2]))
  expect(Math.abs(noise.perHour)).toBeLessThan(5)
  expect(noise.fit).toBeLessThan(0.01)
  expect(growthOf([[0, 1]]).perHour).toBeNaN()
})

it('plot: a chart for each series, with what the file needs to be shown', () => {
  const svg = svgOf([
    {
      title: 'a<b',
      unit: 'MiB',
      lines: new Map([
        [
          'north',
          [
            [0, 1],
            [5, 2],
          ] as const,
        ],
      ]),
    },
  ])
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/)
  expect(svg).toContain('a&lt;b')
  expect(svg.match(/<polyline/g)).toHaveLength(1)
})
