// A digit for the form (file kind and row form), then a file of conversations.
#include <array>

#include "data/conversation.h"
#include "data/record_reader.h"
#include "fuzz.h"

using namespace ranktune;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array kForms{DataFormat::kAuto, DataFormat::kAlpaca, DataFormat::kShareGpt,
                              DataFormat::kMessages};
  constexpr std::int64_t kMostRecordBytes = std::int64_t{1} << 16;
  fuzz::Input input(data, size);
  const unsigned form = input.choice();
  const Path path = fuzz::put(form < kForms.size() ? "rows.json" : "rows.jsonl", input.rest());
  fuzz::may_refuse([&] {
    RecordReader reader(path, kMostRecordBytes);
    ConversationParser parser(kForms[form % kForms.size()]);
    Record record;
    while (reader.next(record)) {
      fuzz::demand(record.text.size() <= input.rest().size(), "a row lies inside the file");
      const ParsedRow row = parser.parse(record.text);
      fuzz::demand(row.problem == RowProblem::kNone ? !row.messages.empty() : !row.detail.empty(),
                   "a row has messages, or the reason why not");
    }
    reader.hash();
  });
  return 0;
}
