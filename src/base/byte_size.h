#pragma once

#include <cstdint>
#include <string_view>

namespace ranktune {

/// A number of bytes as Hugging Face's libraries write it: "5GB", "1.5 GiB", "800000". KB, MB, GB and TB are
/// powers of 1000, KiB, MiB, GiB and TiB powers of 1024; a bare number is bytes. Error for anything else
/// ("5Gb" would be bits) and for less than one byte.
std::uint64_t parse_byte_size(std::string_view text);

}  // namespace ranktune
