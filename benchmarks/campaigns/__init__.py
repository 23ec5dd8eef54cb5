"""Campaigns of several strategies on equal terms: peers' own software, controls and hea-loop.

    python -m benchmarks.campaigns --contestant hea-loop --seeds 1 --json    # one contestant, one seed
    python -m benchmarks.campaigns --smoke                                   # everybody, two rounds
    python -m benchmarks.campaigns --out docs/results/campaigns.json         # the benchmark
    python -m benchmarks.campaigns --tables docs/results/campaigns.json      # tables and pictures from results

Everyone starts from the same alloys, has the same number of jobs in rounds of the same size, and asks the same
laboratory (:mod:`benchmarks.oracles`): answers are noisy, a fifth of the jobs fails, answers come late.
"""
