// Command verified-images is the policy of that name: it admits containers whose images are
// signed by those who are to have signed them, and pins their tags to what was verified.
package main
