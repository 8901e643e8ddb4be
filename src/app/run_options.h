#pragma once

#include <torch/types.h>

#include <vector>

#include "checkpoint/checkpoint_options.h"
#include "comm/comm_options.h"
#include "config/run_config.h"
#include "data/step_stream.h"
#include "train/trainable.h"
#include "train/trainer.h"
#include "zero/lr_schedule.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {

struct DataFacts;

// What the configuration says to the parts of a training run.

CommOptions comm_options(const RunConfig& config);
StepStreamOptions stream_options(const RunConfig& config, bool validation);
Zero2Setup optimizer_setup(const RunConfig& config, const TrainableSet& trainable, torch::Device device);
ScheduleOptions schedule_options(const RunConfig& config);
CheckpointOptions checkpoint_options(const RunConfig& config);
/// `rewinds`: of the run so far.
TrainerOptions trainer_options(const RunConfig& config, const DataFacts& facts,
                               const std::vector<Rewind>& rewinds);

}  // namespace ranktune
