#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ranktune {

/// The printable character that stands for a byte in tokenizer.json (GPT-2's table: printable Latin-1 bytes
/// stand for themselves, the others for U+0100 upwards), as UTF-8.
std::string byte_symbol(unsigned char byte);

/// The bytes a token written in that alphabet stands for; nothing where it holds a character outside of it.
std::optional<std::string> bytes_of_symbols(std::string_view token);

}  // namespace ranktune
