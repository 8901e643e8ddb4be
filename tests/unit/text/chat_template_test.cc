#include "text/chat_template.h"

#include <sstream>

#include "base/json.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "support/zst_file.h"
#include "text/template_text.h"

namespace ranktune {
namespace {

const Path kChatData = Path(RANKTUNE_TEST_DATA) / "chat";

// A model folder with nothing but a tokenizer_config.json.
ChatTemplate load_config(const Json& config, const std::string& name = "auto") {
  const TempDir folder;
  write_file(folder / "tokenizer_config.json", config.dump());
  return ChatTemplate::load(folder.path(), name);
}

ChatTemplate load_reference(const std::string& name) {
  const TempDir folder;
  const Path own = Path(RANKTUNE_TEST_DATA) / "tokenizers" / name / "tokenizer_config.json";
  if (std::filesystem::exists(own)) return ChatTemplate::load(own.parent_path());
  write_file(folder / "chat_template.jinja", read_file(kChatData / "templates" / (name + ".jinja")));
  return ChatTemplate::load(folder.path());
}

std::string one_line(const std::string& system) {
  const std::string first = system.empty() ? ""
                                           : "{% if loop.first and messages[0]['role'] != 'system' %}{{ "
                                             "'<|im_start|>system\\n" +
                                                 system + "<|im_end|>\\n' }}{% endif %}";
  return "{% for message in messages %}" + first +
         "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor "
         "%}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
}

TEST(ChatTemplate, RendersWhatJinjaRenders) {
  std::map<std::string, std::unique_ptr<ChatTemplate>> templates;
  std::istringstream lines(read_zst(kChatData / "extra.jsonl.zst"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json row = parse_json(line, "extra");
    const std::string name = row["template"];
    auto& chat_template = templates[name];
    if (!chat_template) chat_template = std::make_unique<ChatTemplate>(load_reference(name));
    std::vector<Message> messages;
    for (const Json& message : row["messages"]) messages.push_back({message["role"], message["content"]});
    const RenderOptions options{.add_generation_prompt = row["add_generation_prompt"],
                                .enable_thinking = row["enable_thinking"]};
    EXPECT_EQ(chat_template->render_text(messages, options), row["text"].get<std::string>()) << line;
  }
  EXPECT_EQ(count, 225);
}

TEST(ChatTemplate, RecognisesTheOwnTemplateByItsText) {
  EXPECT_EQ(load_reference("qwen3_revised").name(), "qwen3");
  EXPECT_EQ(load_reference("qwen3_instruct").name(), "qwen3-instruct");
  const auto named = [](const std::string& text) { return load_config({{"chat_template", text}}); };
  EXPECT_EQ(named(one_line("You are a helpful assistant.")).name(), "qwen2");
  EXPECT_EQ(named(one_line("")).name(), "chatml");
  EXPECT_EQ(named(one_line("")).default_system(), "");
  const ChatTemplate other = named(one_line("Sois bref."));
  EXPECT_EQ(other.name(), "chatml");
  EXPECT_EQ(other.default_system(), "Sois bref.");
  // Windows line ends and surrounding space change nothing.
  EXPECT_EQ(named("  " + one_line("You are a helpful assistant") + "\r\n").name(), "qwen1.5");
}

TEST(ChatTemplate, ClosesTheLastTurnThatTheFirstQwen15TemplateLeftOpen) {
  const ChatTemplate fixed = load_config(
      {{"chat_template",
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
        "'<|im_start|>system\nYou "
        "are a helpful assistant<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
        "message['content']}}{% if (loop.last and add_generation_prompt) or not loop.last %}{{ '<|im_end|>' "
        "+ '\n'}}{% "
        "endif %}{% endfor %}{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}{{ "
        "'<|im_start|>assistant\n' }}{% endif %}"}});
  EXPECT_EQ(fixed.name(), "qwen1.5");
  const std::vector<Message> messages{{"user", "q"}, {"assistant", "a"}};
  EXPECT_TRUE(fixed.render_text(messages, false).ends_with("a<|im_end|>\n"));
}

// Recognised again by its text, it renders the same: that is how a merged model carries what it was trained
// with.
TEST(ChatTemplate, JinjaOfChatMlIsTheSameTemplate) {
  const std::vector<Message> messages{{"user", "q"}, {"assistant", "a"}};
  for (const char* name : {"chatml", "qwen1.5", "qwen2", "qwen2.5", "qwen3-instruct", "smollm2"}) {
    const ChatTemplate named = load_config(Json::object(), name);
    const ChatTemplate again = load_config({{"chat_template", template_jinja(named)}});
    EXPECT_EQ(again.fingerprint(), named.fingerprint()) << name;
    EXPECT_EQ(again.render_text(messages, true), named.render_text(messages, true)) << name;
  }
  EXPECT_EQ(template_jinja(load_config(Json::object(), "qwen2")), one_line("You are a helpful assistant."));
  for (const char* name : {"qwen1", "qwen3", "default"})
    EXPECT_EQ(template_jinja(load_config(Json::object(), name)), "") << name;
  // Prompts need no more than the text of one.
  const ChatTemplate first_qwen = load_config(Json::object(), "qwen1");
  const ChatTemplate again = load_config({{"chat_template", prompt_jinja(first_qwen)}});
  const std::vector<Message> question{{"user", "q"}, {"assistant", "a"}, {"user", "r"}};
  EXPECT_EQ(again.render_text(question, true), first_qwen.render_text(question, true));
  EXPECT_EQ(prompt_jinja(again), template_jinja(again));
  EXPECT_EQ(prompt_jinja(load_config(Json::object(), "qwen3")), "");
  const TempDir folder;
  EXPECT_EQ(own_template_text(folder.path()), "");
  write_file(folder / "chat_template.jinja", "{{ unknown }}");
  EXPECT_EQ(own_template_text(folder.path()), "{{ unknown }}");
}

TEST(ChatTemplate, TakesTheDefaultOfAListAndTheJinjaFileFirst) {
  const Json list = {{{"name", "tool_use"}, {"template", "x"}},
                     {{"name", "default"}, {"template", one_line("")}}};
  EXPECT_EQ(load_config({{"chat_template", list}}).name(), "chatml");
  expect_error([&] { load_config({{"chat_template", Json::array({list[0]})}}); }, "\"default\"");
  const TempDir folder;
  write_file(folder / "tokenizer_config.json", Json{{"chat_template", "unknown"}}.dump());
  write_file(folder / "chat_template.jinja", one_line("You are a helpful assistant"));
  EXPECT_EQ(ChatTemplate::load(folder.path()).name(), "qwen1.5");
}

TEST(ChatTemplate, SaysWhatToDoAboutAnUnknownOrAbsentOne) {
  expect_error(
      [] {
        load_config({{"chat_template", one_line("") + "{{ 'more' }}"}});
      },
      "tokenizer_config.json", "template = \"chatml\"");
  expect_error([] { load_config(Json::object()); }, "no chat template", "template = \"chatml\"");
  expect_error([] { load_config(Json::object(), "chatlm"); }, "\"chatlm\"", "did you mean \"chatml\"",
               "qwen2.5");
  EXPECT_EQ(load_config({{"chat_template", "unknown"}}, "chatml").name(), "chatml");
}

TEST(ChatTemplate, MarksContentAndAnswers) {
  const ChatTemplate chatml = load_config(Json::object(), "chatml");
  const std::vector<Message> messages{{"user", "q"}, {"assistant", "a"}};
  std::string content, supervised;
  for (const TemplatePart& part : chatml.render(messages, false)) {
    if (part.content) content += "[" + part.text + "]";
    if (part.supervised) supervised += "[" + part.text + "]";
  }
  EXPECT_EQ(content, "[q][a]");
  EXPECT_EQ(supervised, "[a][<|im_end|>]");
}

// The layout LLaMA-Factory 0.5 gives its "default" template.
TEST(ChatTemplate, PlainDefaultIsHumanAndAssistant) {
  const ChatTemplate plain = load_config({{"eos_token", {{"content", "</s>"}}}}, "default");
  EXPECT_EQ(plain.end_of_turn(), "</s>");
  EXPECT_EQ(load_config(Json::object(), "default").end_of_turn(), "<|endoftext|>");
  const std::vector<Message> messages{{"system", "S"}, {"user", "q"}, {"assistant", "a"}, {"user", "r"}};
  EXPECT_EQ(plain.render_text(messages, true), "S\nHuman: q\nAssistant: a</s>\nHuman: r\nAssistant: ");
  const std::vector<Message> twice{{"user", "q"}, {"user", "r"}};
  expect_error([&] { plain.render(twice, true); }, "message 2", "\"user\"");
  expect_error([&] { plain.render(messages, false); }, "\"default\"");
}

TEST(ChatTemplate, RefusesWhatIsNoConversation) {
  const ChatTemplate chatml = load_config(Json::object(), "chatml");
  expect_error([&] { chatml.render({}, false); }, "without messages");
  const std::vector<Message> tool{{"user", "q"}, {"tool", "x"}};
  expect_error([&] { chatml.render(tool, false); }, "message 2", "\"tool\"");
}

TEST(ChatTemplate, FingerprintIsOfTheBehaviour) {
  EXPECT_EQ(load_reference("qwen3").fingerprint(), load_reference("qwen3_revised").fingerprint());
  EXPECT_EQ(load_reference("qwen1.5").fingerprint(), load_config(Json::object(), "qwen1.5").fingerprint());
  EXPECT_NE(load_reference("qwen1.5").fingerprint(), load_reference("smollm2").fingerprint());
  EXPECT_NE(load_config(Json::object(), "chatml").fingerprint(), load_reference("qwen3").fingerprint());
}

}  // namespace
}  // namespace ranktune
