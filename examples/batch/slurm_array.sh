#!/bin/bash
# A SLURM array: one task for each shard. `sbatch slurm_array.sh MUSIC OUT`, then `m2e merge OUT`.
#SBATCH --job-name=m2e
#SBATCH --array=1-100
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=06:00:00
#SBATCH --requeue
# A task that is requeued goes on where it was. Its status is 1 if tracks failed; their rows say why.
m2e predict "$1" --format parquet -o "$2" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --resume --embedding --workers "$SLURM_CPUS_PER_TASK"
