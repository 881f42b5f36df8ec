#!/usr/bin/env bash
#SBATCH --job-name=robo-rl
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
#SBATCH --signal=B:TERM@180
# One training run on one node, from a checkout that `make install` has prepared, on a file system that all nodes see:
#   sbatch launch/slurm.sh grasp_objects --run runs/objects_0 --actor.processes 14
#   sbatch --gres=gpu:1 launch/slurm.sh dmc --run runs/walker --env.name suite/walker-walk
#
# SIGTERM comes 180 s before the time limit, more than the program takes at most to commit a whole checkpoint. Then the
# job goes back into the queue, and the same command resumes the run.
set -uo pipefail
cd "${SLURM_SUBMIT_DIR:?submit this script with sbatch}" || exit 2

preset=${1:?usage: sbatch launch/slurm.sh PRESET [FLAG VALUE ...]}
shift
[ -x .venv/bin/robo-rl ] || { echo "no .venv in $PWD: run 'make install' there first" >&2; exit 2; }

stopped=no training=""
trap 'stopped=yes; kill -TERM "$training" 2>/dev/null' TERM
.venv/bin/robo-rl train "$preset" "$@" &
training=$!

# A signal ends `wait` before its child has ended, so wait until the child is gone; the last wait has its exit code.
while wait "$training"; kill -0 "$training" 2>/dev/null; do :; done
wait "$training"
code=$?

# 143: the signal came before the program was ready for it, and nothing was lost.
if [ "$stopped" = yes ] && { [ "$code" -eq 0 ] || [ "$code" -eq 143 ]; }; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
