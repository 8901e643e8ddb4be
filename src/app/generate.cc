#include "eval/generate.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>

#include "app/commands.h"
#include "app/model_vocabulary.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "model/adapter.h"
#include "model/load_model.h"
#include "model/lora.h"
#include "model/model_files.h"
#include "text/encode_example.h"
#include "text/stop_tokens.h"

namespace ranktune {
namespace {

struct GenerateArguments {
  std::string model, adapter, dtype = "fp32", chat_template = "auto", prompt, input, output, system;
  GenerateOptions options;
  bool compare = false;
};

void add_common_options(CLI::App& app, GenerateArguments& a) {
  app.add_option("--model", a.model, "Model folder")->required();
  app.add_option("--adapter", a.adapter, "PEFT adapter folder");
  app.add_option("--dtype", a.dtype, "Compute type")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}))
      ->capture_default_str();
  app.add_option("--template", a.chat_template, "A chat template's name instead of the model's own");
  app.add_option("--system", a.system, "System message");
  app.add_option("--max-new-tokens", a.options.max_new_tokens, "Longest answer")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--temperature", a.options.sampling.temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--top-p", a.options.sampling.top_p, "Nucleus sampling")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  app.add_option("--seed", a.options.sampling.seed, "Of the sampling")->capture_default_str();
}

/// A model ready to answer.
class Speaker {
 public:
  explicit Speaker(const GenerateArguments& arguments)
      : arguments_(arguments),
        tokenizer_(Tokenizer::load(arguments.model)),
        template_(ChatTemplate::load(arguments.model, arguments.chat_template)),
        decoder_(load_model(
            {.folder = arguments.model, .dtype = compute_dtype(arguments.dtype), .device = torch::kCPU})) {
    check_vocabulary(*tokenizer_, decoder_->architecture().vocab_size, arguments.model);
    if (const std::string risk = fp16_risk(*decoder_); !risk.empty()) log_warning("--dtype fp16: {}", risk);
    // Only a warning, so that models trained with --allow-template-mismatch can be looked at.
    stop_ = load_stop_tokens(arguments.model, *tokenizer_, template_, TemplateMismatch::kWarn).ids;
    if (!arguments.adapter.empty()) use_adapter();
  }

  std::string answer(const std::vector<Message>& messages, bool with_adapter, bool stream) {
    GenerateOptions options = arguments_.options;
    options.stop = stop_;
    options.use_adapter = with_adapter;
    StreamDecoder decoder(*tokenizer_);
    std::string text;
    const auto put = [&](const std::string& piece) {
      text += piece;
      if (stream) fmt::print("{}", piece), std::fflush(stdout);
    };
    generate(*decoder_, encode_prompt(*tokenizer_, template_, messages), options,
             [&](std::int32_t id) { put(decoder.push(id)); });
    put(decoder.finish());
    if (stream) fmt::print("\n");
    return text;
  }

 private:
  void use_adapter() {
    require_same_base(arguments_.adapter, arguments_.model,
                      [this] { return weights_fingerprint(Path(arguments_.model)); });
    load_adapter(*decoder_, arguments_.adapter);
    const AdapterOrigin origin = read_adapter_origin(arguments_.adapter);
    require(
        origin.template_fingerprint.empty() || origin.template_fingerprint == template_.fingerprint(),
        "adapter {} was trained with the chat template \"{}\", but \"{}\" is used now; give --template {}",
        arguments_.adapter, origin.template_name, template_.name(), origin.template_name);
    require(origin.tokenizer_fingerprint.empty() || origin.tokenizer_fingerprint == tokenizer_->fingerprint(),
            "adapter {} was trained with another tokenizer than that of {}", arguments_.adapter,
            arguments_.model);
    use_compute_dtype(*decoder_);
  }

  const GenerateArguments& arguments_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  ChatTemplate template_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<std::int32_t> stop_;
};

std::vector<Message> with_system(const GenerateArguments& arguments, std::string prompt) {
  std::vector<Message> messages;
  if (!arguments.system.empty()) messages.push_back({"system", arguments.system});
  messages.push_back({"user", std::move(prompt)});
  return messages;
}

std::vector<Message> read_messages(const std::string& line, const std::string& where,
                                   const GenerateArguments& a) {
  const Json row = parse_json(line, where);
  if (row.contains("prompt")) return with_system(a, json_get<std::string>(row, "prompt", where));
  std::vector<Message> messages;
  for (const Json& message : json_get<std::vector<Json>>(row, "messages", where))
    messages.push_back(
        {json_get<std::string>(message, "role", where), json_get<std::string>(message, "content", where)});
  require(!messages.empty(), "{}: \"messages\" is empty, so there is nothing to answer", where);
  return messages;
}

void answer_one(Speaker& speaker, const GenerateArguments& arguments, const std::vector<Message>& messages) {
  if (arguments.compare) {
    fmt::print("before: ");
    speaker.answer(messages, false, true);
    fmt::print("after:  ");
  }
  speaker.answer(messages, true, true);
}

void answer_file(Speaker& speaker, const GenerateArguments& arguments) {
  std::ifstream input(arguments.input);
  require(input.good(), "cannot open {}", arguments.input);
  std::unique_ptr<AtomicFile> output;
  if (!arguments.output.empty()) output = std::make_unique<AtomicFile>(arguments.output);
  std::string line;
  for (std::int64_t number = 1; std::getline(input, line); ++number) {
    if (line.empty()) continue;
    const auto messages = read_messages(line, fmt::format("{}:{}", arguments.input, number), arguments);
    OrderedJson record{{"prompt", messages.back().content}};
    if (arguments.compare) record["before"] = speaker.answer(messages, false, false);
    record["answer"] = speaker.answer(messages, true, false);
    if (output)
      output->write(record.dump() + "\n");
    else if (arguments.compare)
      fmt::print("question: {}\nbefore:   {}\nafter:    {}\n\n", messages.back().content,
                 record["before"].get<std::string>(), record["answer"].get<std::string>());
    else
      fmt::print("{}\n", record.dump());
  }
  require(!input.bad(), "cannot read {}", arguments.input);
  if (output) output->commit();
}

int run_generate(const GenerateArguments& arguments) {
  require(arguments.prompt.empty() != arguments.input.empty(),
          "give either --prompt TEXT or --input FILE.jsonl");
  require(!arguments.compare || !arguments.adapter.empty(),
          "--compare shows answers without and with --adapter; give one");
  Speaker speaker(arguments);
  if (arguments.input.empty())
    answer_one(speaker, arguments, with_system(arguments, arguments.prompt));
  else
    answer_file(speaker, arguments);
  return kExitDone;
}

int run_chat(const GenerateArguments& arguments) {
  Speaker speaker(arguments);
  std::vector<Message> messages;
  if (!arguments.system.empty()) messages.push_back({"system", arguments.system});
  const bool person = ::isatty(STDIN_FILENO) == 1;
  if (person) fmt::print("An empty line or Ctrl-D ends the conversation.\n");
  std::string line;
  for (;;) {
    if (person) fmt::print("> "), std::fflush(stdout);
    if (!std::getline(std::cin, line) || line.empty()) return kExitDone;
    messages.push_back({"user", line});
    messages.push_back({"assistant", speaker.answer(messages, true, true)});
  }
}

}  // namespace

Command add_generate(CLI::App& program) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* app = program.add_subcommand("generate", "Answer a prompt, or a file of prompts");
  add_common_options(*app, *arguments);
  app->add_option("--prompt", arguments->prompt, "The user's message");
  CLI::Option* input =
      app->add_option("--input", arguments->input, "JSONL of {\"prompt\"} or {\"messages\"}");
  app->add_option("--output", arguments->output, "JSONL to write the answers of --input to")->needs(input);
  app->add_flag("--compare", arguments->compare, "Answer without and with the adapter");
  app->footer(
      "Example: ranktune generate --model M --adapter runs/x/adapter --compare --prompt \"Who are you?\"");
  return {app, [arguments] { return run_generate(*arguments); }};
}

Command add_chat(CLI::App& program) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* app = program.add_subcommand("chat", "Talk with a model in the terminal");
  add_common_options(*app, *arguments);
  app->footer(
      "Example: ranktune chat --model models/smollm2-135m-instruct --adapter runs/quickstart/adapter");
  return {app, [arguments] { return run_chat(*arguments); }};
}

}  // namespace ranktune
