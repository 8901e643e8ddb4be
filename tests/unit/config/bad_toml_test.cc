// Each kind of broken configuration file: the message must name place, key and remedy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/load_config.h"

namespace ranktune {
namespace {

struct BadFile {
  std::string kind;
  std::string text;
  std::vector<std::string> parts;  ///< of the message, its beginning first
};

void PrintTo(const BadFile& bad, std::ostream* out) { *out << bad.kind; }

class BadToml : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadToml, IsRefusedWithPlaceAndRemedy) {
  const auto& [kind, text, parts] = GetParam();
  try {
    read_config_text(text, "run.toml");
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_THAT(message, ::testing::StartsWith(parts.front()));
    for (const std::string& part : parts) EXPECT_THAT(message, ::testing::HasSubstr(part));
    return;
  }
  FAIL() << "accepted: " << text;
}

const std::vector<BadFile> kBadFiles{
    {"UnknownKey",
     "[lora]\nrnk = 4\n",
     {"run.toml:2:1: ", "unknown key \"lora.rnk\"", "did you mean \"lora.rank\"?"}},
    {"UnknownSection",
     "[optimiser]\nlr = 1e-4\n",
     {"run.toml:1:2: ", "unknown section \"optimiser\"", "\"optimizer\"?"}},
    {"UnknownRootKey", "\n  devise = \"cpu\"\n", {"run.toml:2:3: ", "unknown key \"devise\"", "\"device\"?"}},
    {"KeyUnderTheWrongSection",
     "[zero]\nstage = 2\nreduce = \"exact\"\n",
     {"run.toml:3:1: ", "unknown key \"zero.reduce\"", "did you mean \"reduce\"?"}},
    {"KeyWithoutItsSection",
     "rank = 8\n",
     {"run.toml:1:1: ", "unknown key \"rank\"", "did you mean \"lora.rank\"?"}},
    {"NothingNear",
     "[lora]\nquantisation_bits = 4\n",
     {"run.toml:2:1: ", "lora.quantisation_bits", "--print-config"}},
    {"FirstErrorOfTheFile", "[run]\nsead = 1\n[data]\ntran = \"a\"\n", {"run.toml:2:1: ", "run.sead"}},
    {"IntegerAsString",
     "[lora]\nrank = \"8\"\n",
     {"run.toml:2:8: ", "lora.rank", "integer from 1 to 65536", "the string \"8\"", "without quotes"}},
    {"IntegerAsFloat", "[lora]\nrank = 8.0\n", {"run.toml:2:8: ", "lora.rank", "the number 8.0", "rank = 8"}},
    {"NumberAsBoolean",
     "[optimizer]\nlr = true\n",
     {"run.toml:2:6: ", "optimizer.lr", "but is true", "lr = 0.0001"}},
    {"BooleanAsInteger",
     "[lora]\nrslora = 1\n",
     {"run.toml:2:10: ", "lora.rslora", "true or false", "the integer 1"}},
    {"StringAsNumber",
     "[model]\ndtype = 16\n",
     {"run.toml:2:9: ", "model.dtype", "the integer 16", "double quotes"}},
    {"NumberAsList", "[lora]\nalpha = [16]\n", {"run.toml:2:9: ", "lora.alpha", "a list of 1", "alpha = 16"}},
    {"NumberAsTable", "[lora.rank]\nq = 1\n", {"run.toml:1:1: ", "lora.rank", "a table", "rank = 8"}},
    {"NumberAsDate", "[run]\nseed = 2024-01-01\n", {"run.toml:2:8: ", "run.seed", "a date", "seed = 42"}},
    {"SectionAsValue", "lora = 8\n", {"run.toml:1:8: ", "lora is a section", "lora.rank = 8"}},
    {"SectionAsListOfTables", "[[lora]]\nrank = 8\n", {"run.toml:1:", "lora is a section", "lora.rank = 8"}},
    {"BelowTheRange",
     "[lora]\nrank = 0\n",
     {"run.toml:2:8: ", "lora.rank is 0", "an integer from 1 to 65536"}},
    {"Negative",
     "[batch]\nsequences_per_step = -4\n",
     {"run.toml:2:22: ", "batch.sequences_per_step is -4", "from 1"}},
    {"AboveTheRange",
     "[lora]\ndropout = 1.0\n",
     {"run.toml:2:11: ", "lora.dropout is 1", "from 0 to below 1"}},
    {"AtAnOpenEnd", "[optimizer]\nlr = 0\n", {"run.toml:2:6: ", "optimizer.lr is 0", "above 0 to 10"}},
    {"OnlyOneValueAllowed", "[zero]\nstage = 3\n", {"run.toml:2:9: ", "zero.stage is 3", "must be 2"}},
    {"NotANumber", "[optimizer]\nlr = nan\n", {"run.toml:2:6: ", "optimizer.lr is nan", "above 0 to 10"}},
    {"Infinite", "[train]\nepochs = inf\n", {"run.toml:2:10: ", "train.epochs is inf", "from 0 to"}},
    {"TooLargeForSixtyFourBits", "[run]\nseed = 99999999999999999999\n", {"run.toml:2:", "not valid TOML"}},
    {"UnknownChoice",
     "[model]\ndtype = \"bf-16\"\n",
     {"run.toml:2:9: ", "model.dtype is \"bf-16\"", "one of \"bf16\", \"fp16\", \"fp32\"",
      "did you mean \"bf16\"?"}},
    {"ChoiceInCapitals",
     "device = \"CPU\"\n",
     {"run.toml:1:10: ", "device is \"CPU\"", "one of \"auto\", \"cpu\", \"cuda\""}},
    {"OneBeta",
     "[optimizer]\nbetas = [0.9]\n",
     {"run.toml:2:9: ", "optimizer.betas", "a list of two numbers", "a list of 1"}},
    {"ThreeBetas",
     "[optimizer]\nbetas = [0.9, 0.95, 0.99]\n",
     {"run.toml:2:9: ", "optimizer.betas", "a list of 3"}},
    {"BetaOfOne",
     "[optimizer]\nbetas = [0.9, 1.0]\n",
     {"run.toml:2:9: ", "optimizer.betas is 1", "from 0 to below 1"}},
    {"BetaAsString",
     "[optimizer]\nbetas = [0.9, \"x\"]\n",
     {"run.toml:2:9: ", "optimizer.betas", "the string \"x\""}},
    {"EmptyPath",
     "[run]\ndir = \"\"\n",
     {"run.toml:2:7: ", "run.dir must not be empty", "folder for the adapter"}},
    {"EmptyList", "[data]\ntrain = []\n", {"run.toml:2:9: ", "data.train must not be empty"}},
    {"EmptyPathInAList",
     "[data]\ntrain = [\"a.h5\", \"\"]\n",
     {"run.toml:2:9: ", "data.train", "empty string", "remove it"}},
    {"NumberInAList",
     "[lora]\ntargets = [\"q_proj\", 7]\n",
     {"run.toml:2:11: ", "lora.targets", "the integer 7", "quotes"}},
    {"TwiceInAList",
     "[lora]\ntargets = [\"w1\", \"w1\"]\n",
     {"run.toml:2:11: ", "lora.targets", "\"w1\" twice", "remove"}},
    {"TableAsNumber",
     "[lora]\nrank_pattern = 4\n",
     {"run.toml:2:16: ", "lora.rank_pattern", "a table of integers, each from 1", "the integer 4",
      "\"q_proj\" = 4"}},
    {"NameWithADotUnquoted",
     "[lora.rank_pattern]\nself_attn.q_proj = 4\n",
     {"run.toml:1:1: ", "lora.rank_pattern", "but is a table", "names with a dot in quotes"}},
    {"RankOfZeroInATable",
     "[lora]\nrank_pattern = {q_proj = 0}\n",
     {"run.toml:2:16: ", "lora.rank_pattern is 0", "from 1 to 65536"}},
    {"FloatInATableOfIntegers",
     "[lora]\nrank_pattern = {q_proj = 2.5}\n",
     {"run.toml:2:16: ", "lora.rank_pattern", "the number 2.5"}},
    {"NegativeLayer",
     "[lora]\nlayers_to_transform = [0, -1]\n",
     {"run.toml:2:23: ", "lora.layers_to_transform is -1", "a list of integers, each from 0"}},
    {"LayerTwice", "[lora]\nlayers_to_transform = [2, 2]\n", {"run.toml:2:23: ", "names 2 twice", "remove"}},
    {"LayerAsString",
     "[lora]\nlayers_to_transform = [\"2\"]\n",
     {"run.toml:2:23: ", "the string \"2\"", "= [0, 1]"}},
    {"DuplicateKey", "[lora]\nrank = 4\nrank = 8\n", {"run.toml:3:", "not valid TOML", "rank", "only once"}},
    {"DuplicateSection",
     "[lora]\nrank = 4\n[lora]\nalpha = 8\n",
     {"run.toml:3:", "not valid TOML", "lora", "only once"}},
    {"UnquotedText", "[model]\ndtype = bf16\n", {"run.toml:2:", "not valid TOML", "double quotes"}},
    {"UnfinishedString", "[model]\npath = \"a\n", {"run.toml:2:", "not valid TOML"}},
    {"UnfinishedHeader", "[lora\nrank = 4\n", {"run.toml:1:", "not valid TOML"}},
    {"NoValue", "[lora]\nrank =\n", {"run.toml:2:", "not valid TOML"}},
    {"NoEqualsSign", "[lora]\nrank 8\n", {"run.toml:2:", "not valid TOML"}},
    {"NotUtf8", "[model]\npath = \"\xff\xfe\"\n", {"run.toml:2:", "not valid TOML"}},
    {"ZeroByte", std::string("[lora]\nrank\0 = 8\n", 17), {"run.toml:2:", "not valid TOML"}},
    {"NotText",
     "\x7f"
     "ELF\x02\x01\x01",
     {"run.toml:1:", "not valid TOML"}},
    {"ThousandsOfDots",
     "a" +
         [] {
           std::string s;
           for (int i = 0; i < 200000; ++i) s += ".a";
           return s;
         }() +
         " = 1\n",
     {"run.toml:1:", "more than 64 dots"}},
    {"SignInsteadOfAKey", "[lora]\n[[~]]\n", {"run.toml:2:", "not valid TOML"}},
    {"LetterThatIsNotAscii",
     "[lora]\nränk = 8\n",
     {"run.toml:2:2: ", "not valid TOML", "outside of double quotes"}},
    {"ChineseQuotes", "# 模型\n[model]\npath = “m”\n", {"run.toml:3:8: ", "outside of double quotes"}},
    {"CommaOfFullWidth",
     "[data]\ntrain = [\"\"\"\n\\\"“\"\"\"\"\"，'“']\n",
     {"run.toml:3:9: ", "outside of double quotes"}},
    {"ThousandsOfBrackets",
     "[data]\ntrain = " + std::string(200000, '[') + "\n",
     {"run.toml:2:", "not valid TOML"}},
};

INSTANTIATE_TEST_SUITE_P(Kinds, BadToml, ::testing::ValuesIn(kBadFiles),
                         [](const auto& test) { return test.param.kind; });

}  // namespace
}  // namespace ranktune
