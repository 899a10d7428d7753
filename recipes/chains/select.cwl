#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
doc: Keeps the masses of a range.
baseCommand: awk
arguments: ["$1 >= low && $1 < high"]
inputs:
  low: {type: float, inputBinding: {prefix: -v, position: -1, valueFrom: "low=$(self)"}}
  high: {type: float, inputBinding: {prefix: -v, position: -1, valueFrom: "high=$(self)"}}
  masses: {type: File, inputBinding: {position: 2}}
stdout: selected.txt
outputs:
  selected: stdout
