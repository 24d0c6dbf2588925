#!/usr/bin/env bash
# Runs the baseline alone, then all of benchmark_orchestrators side by side. Arguments are passed to the
# comparison, for example: ./run_comparison.sh --plot comparison.png
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

echo "== the baseline, 3 runs per case"
hatch run benchmark --orchestrator baseline --test-case all --iterations 3 --detailed

echo
echo "== all of benchmark_orchestrators"
hatch run compare-benchmarks --compare-dir benchmark_orchestrators --test-case all --iterations 3 "$@"
