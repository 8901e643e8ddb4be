// Every file in configs/ is complete and free of contradictions, and the report's are what the report says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "config/load_config.h"
#include "config/option.h"

namespace ranktune {
namespace {

using ::testing::ElementsAre;

const Path kFolder = Path(RANKTUNE_TEST_DATA).parent_path().parent_path() / "configs";

RunConfig shipped(const std::string& name) { return load_config(kFolder / (name + ".toml")).values; }

TEST(ShippedConfigs, AllLoad) {
  std::set<std::string> names, folders;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".toml") continue;
    names.insert(entry.path().stem());
    const RunConfig config = load_config(entry.path()).values;
    EXPECT_TRUE(folders.insert(config.run.dir).second)
        << entry.path() << " shares its run.dir with another file";
  }
  for (const char* name :
       {"quickstart", "qwen_7b_chat_as_reported", "qwen_7b_chat_advised", "qwen1.5_7b_chat_as_reported",
        "qwen1.5_7b_chat_advised", "qwen2.5_7b_instruct", "qwen3_8b", "smollm2_135m_instruct"})
    EXPECT_TRUE(names.contains(name)) << name;
}

TEST(ShippedConfigs, AsReportedIsWhatTheReportSays) {
  for (const char* name : {"qwen_7b_chat_as_reported", "qwen1.5_7b_chat_as_reported"}) {
    const RunConfig c = shipped(name);
    EXPECT_EQ(c.train.method, "lora");
    EXPECT_EQ(c.model.dtype, "fp16");
    EXPECT_EQ(c.lora.rank, 1);
    EXPECT_EQ(c.lora.alpha, 2);
    EXPECT_EQ(c.lora.dropout, 0.05);
    EXPECT_EQ(c.train.epochs, 60);
    EXPECT_EQ(c.batch.sequences_per_step, 2 * 8 * 2);
    EXPECT_GE(c.batch.tokens_per_slot, 1024) << "rows of the report's cutoff must fit";
    EXPECT_EQ(c.optimizer.lr, 3e-4);
    EXPECT_EQ(c.optimizer.weight_decay, 0.1);
    EXPECT_THAT(c.optimizer.betas, ElementsAre(0.9, 0.95));
    EXPECT_EQ(c.schedule.kind, "cosine");
    EXPECT_EQ(c.schedule.warmup_ratio, 0.01);
    EXPECT_EQ(c.data.template_name, "default");
  }
}

TEST(ShippedConfigs, AdvisedValidatesAndStopsInTime) {
  for (const char* name : {"qwen_7b_chat_advised", "qwen1.5_7b_chat_advised", "qwen2.5_7b_instruct",
                           "qwen3_8b", "smollm2_135m_instruct"}) {
    const RunConfig c = shipped(name);
    EXPECT_FALSE(c.data.validation.empty());
    EXPECT_LE(c.optimizer.lr, 1e-4);
    EXPECT_GE(c.train.epochs, 3);
    EXPECT_LE(c.train.epochs, 5);
    EXPECT_GE(c.lora.rank, 8);
    EXPECT_EQ(c.model.dtype, "bf16");
    EXPECT_EQ(c.data.template_name, "auto");
  }
}

TEST(ShippedConfigs, TargetsAreThoseOfTheArchitecture) {
  for (const char* name : {"qwen_7b_chat_as_reported", "qwen_7b_chat_advised"})
    EXPECT_THAT(shipped(name).lora.targets, ElementsAre("c_attn", "c_proj", "w1", "w2"));
  for (const char* name : {"qwen1.5_7b_chat_as_reported", "qwen1.5_7b_chat_advised", "qwen2.5_7b_instruct",
                           "qwen3_8b", "smollm2_135m_instruct"})
    EXPECT_THAT(shipped(name).lora.targets,
                ElementsAre("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "gate_proj", "down_proj"));
}

}  // namespace
}  // namespace ranktune
